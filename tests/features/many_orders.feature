Feature: Many orders at once
  The person on duty cancels many orders, or retries their payment, at once. Each is decided as if it were the only one.

  Background:
    Given the shop has 9 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens

  Rule: What can't be done with an order is told, and keeps no other from being done

    Scenario: Two orders are cancelled, one of which is paid
      Given she has ordered 1 fountain pen
      And she has paid
      When the person on duty cancels all her orders, since the price was wrong
      Then 1 of them is done, and 1 is refused: illegal transition
      And her order is paid
      And 1 of her orders is cancelled
      And 8 fountain pens are left

  Rule: Nothing is done before their number was seen

    Scenario: They are counted
      When the person on duty counts all her orders
      Then there is 1 of them
      And her order awaits payment

    Scenario: Another one comes meanwhile
      Given the person on duty has counted all her orders
      And she has ordered 1 fountain pen
      When the person on duty cancels all her orders, since the price was wrong
      Then that is not done, since there are 2 of them now
      And none of her orders are cancelled

  Rule: Payment is retried where it has failed

    Scenario: Her card is good again
      Given cards are being declined
      And she has paid
      And cards are being accepted
      When the person on duty retries the payment of all her orders
      Then 1 of them is done
      And her order is paid
      And her card has been charged 25.00 EUR
